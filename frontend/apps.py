from django.apps import AppConfig
from django.contrib.admin import apps
from django.contrib.auth.signals import user_logged_in


class FrontendConfig(AppConfig):
    name = "frontend"

    def ready(self) -> None:
        from frontend.accounts import preferences  # models are there only now

        user_logged_in.connect(preferences.remember, dispatch_uid="preferences of the account")


class RecordedAdminConfig(apps.AdminConfig):
    """Django's administration, whose every change goes to the audit log."""

    default = False
    default_site = "frontend.admin_site.RecordedSite"
