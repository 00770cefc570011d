from django.contrib import admin
from django.urls import include, path

from annotation.views import invitations
from frontend.help.views import help_page
from frontend.home import views

handler404 = "frontend.home.views.not_found"
handler500 = "frontend.home.views.broken"

urlpatterns = [
    path("", views.home, name="home"),
    path("palette/", views.palette, name="palette"),
    path("health/", views.health, name="health"),
    path("help/", help_page, name="help"),
    path("help/<path:name>/", help_page, name="help_page"),
    path("accounts/", include("frontend.accounts.urls")),
    path("invitation/<str:key>/", invitations.accept, name="invitation"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("frontend.api.urls")),
    path("projects/", include("annotation.urls")),
    path("projects/", include("training.urls")),
    path("projects/<slug:slug>/delete/", views.delete, name="project_delete"),
    path("projects/<slug:slug>/", views.project, name="project"),
]
