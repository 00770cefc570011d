from django.contrib.auth import views
from django.urls import path

from annotation.views import audit, tokens
from frontend.accounts import data, first_run, sign_in

urlpatterns = [
    path("setup/", first_run.set_up, name="setup"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("password_change/", views.PasswordChangeView.as_view(), name="password_change"),
    path("password_change/done/", views.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("password_reset/", sign_in.ResetPassword.as_view(), name="password_reset"),
    path("password_reset/done/", sign_in.ResetPasswordDone.as_view(), name="password_reset_done"),
    path("reset/<uidb64>/<token>/", sign_in.ResetPasswordConfirm.as_view(), name="password_reset_confirm"),
    path("reset/done/", sign_in.ResetPasswordComplete.as_view(), name="password_reset_complete"),
    path("tokens/", tokens.token_list, name="tokens"),
    path("tokens/<int:pk>/revoke/", tokens.revoke, name="token_revoke"),
    path("data/", data.own_data, name="own_data"),
    path("people/<int:pk>/", data.person, name="person"),
    path("audit/", audit.of_server, name="audit_of_server"),
]
