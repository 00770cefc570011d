from django.contrib import admin
from django.urls import include, path

from annotation.views import tokens
from frontend.help.views import help_page
from frontend.home import views

handler404 = "frontend.home.views.not_found"

urlpatterns = [
    path("", views.home, name="home"),
    path("health/", views.health, name="health"),
    path("help/", help_page, name="help"),
    path("help/<path:name>/", help_page, name="help_page"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("accounts/tokens/", tokens.token_list, name="tokens"),
    path("accounts/tokens/<int:pk>/revoke/", tokens.revoke, name="token_revoke"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("frontend.api.urls")),
    path("projects/", include("annotation.urls")),
    path("projects/", include("training.urls")),
    path("projects/<slug:slug>/", views.project, name="project"),
]
