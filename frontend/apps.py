from django.apps import AppConfig
from django.contrib.admin import apps


class FrontendConfig(AppConfig):
    name = "frontend"


class RecordedAdminConfig(apps.AdminConfig):
    """Django's administration, whose every change goes to the audit log."""

    default = False
    default_site = "frontend.admin_site.RecordedSite"
