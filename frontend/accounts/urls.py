from django.contrib.auth import views
from django.urls import path
from django.views.i18n import set_language

from annotation.views import audit, notifications, tokens
from frontend.accounts import data, first_run, one_time, profile, sign_in
from frontend.accounts.single_sign_on import views as single_sign_on

urlpatterns = [
    path("setup/", first_run.set_up, name="setup"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("logout/", single_sign_on.SignOut.as_view(), name="logout"),
    path("single-sign-on/", single_sign_on.begin, name="sso_begin"),
    path("single-sign-on/back/", single_sign_on.back, name="sso_callback"),
    path("one-time/<str:key>/", one_time.sign_in, name="one_time"),
    path("password_change/", sign_in.ChangePassword.as_view(), name="password_change"),
    path("password_change/done/", views.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("password_reset/", sign_in.ResetPassword.as_view(), name="password_reset"),
    path("password_reset/done/", sign_in.ResetPasswordDone.as_view(), name="password_reset_done"),
    path("reset/<uidb64>/<token>/", sign_in.ResetPasswordConfirm.as_view(), name="password_reset_confirm"),
    path("reset/done/", sign_in.ResetPasswordComplete.as_view(), name="password_reset_complete"),
    path("profile/", profile.profile, name="profile"),
    path("language/", set_language, name="set_language"),
    path("notifications/", notifications.notification_list, name="notifications"),
    path("notifications/<int:pk>/", notifications.open_notification, name="notification"),
    path("notifications/read/", notifications.read_all, name="notifications_read"),
    path("tokens/", tokens.token_list, name="tokens"),
    path("tokens/<int:pk>/revoke/", tokens.revoke, name="token_revoke"),
    path("data/", data.own_data, name="own_data"),
    path("people/<int:pk>/", data.person, name="person"),
    path("audit/", audit.of_server, name="audit_of_server"),
]
