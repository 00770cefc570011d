from django.contrib import admin
from django.urls import include, path

from frontend import views

urlpatterns = [
    path("", views.home, name="home"),
    path("health/", views.health, name="health"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("frontend.api_urls")),
    path("projects/", include("annotation.urls")),
    path("projects/", include("training.urls")),
    path("projects/<slug:slug>/", views.project, name="project"),
]
