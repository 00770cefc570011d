from django.urls import path

from annotation.views import projects, snapshots, uploads, webhooks, work

urlpatterns = [
    path("new/", projects.create, name="project_create"),
    path("<slug:slug>/settings/", projects.edit, name="project_edit"),
    path("<slug:slug>/members/", projects.members, name="members"),
    path("<slug:slug>/prompts/", uploads.prompt_list, name="prompts"),
    path("<slug:slug>/prompts/uploads/<int:pk>/", uploads.upload, name="upload"),
    path("<slug:slug>/prompts/uploads/<int:pk>/take/", uploads.take_upload, name="take_upload"),
    path("<slug:slug>/prompts/uploads/<int:pk>/refused.csv", uploads.refused_rows, name="upload_refused"),
    path("<slug:slug>/annotate/", work.annotate, name="annotate"),
    path("<slug:slug>/tasks/<int:pk>/", work.assignment, name="assignment"),
    path("<slug:slug>/tasks/<int:pk>/draft/", work.save_draft, name="save_draft"),
    path("<slug:slug>/tasks/<int:pk>/submit/", work.submit, name="submit"),
    path("<slug:slug>/tasks/<int:pk>/skip/", work.skip, name="skip"),
    path("<slug:slug>/snapshots/", snapshots.snapshot_list, name="snapshots"),
    path("<slug:slug>/snapshots/withdraw/", snapshots.withdraw, name="withdraw"),
    path("<slug:slug>/snapshots/<int:number>/", snapshots.snapshot, name="snapshot"),
    path("<slug:slug>/snapshots/<int:number>/card/", snapshots.card, name="snapshot_card"),
    path("<slug:slug>/snapshots/<int:number>/changes/<int:earlier>/", snapshots.changes, name="snapshot_changes"),
    path("<slug:slug>/snapshots/<int:number>/download/", snapshots.download, name="snapshot_download"),
    path("<slug:slug>/webhooks/", webhooks.webhook_list, name="webhooks"),
    path("<slug:slug>/webhooks/<int:pk>/", webhooks.webhook, name="webhook"),
    path("<slug:slug>/webhooks/<int:pk>/test/", webhooks.test, name="webhook_test"),
    path("<slug:slug>/webhooks/<int:pk>/remove/", webhooks.remove, name="webhook_remove"),
    path("<slug:slug>/webhooks/<int:pk>/<int:delivery>/again/", webhooks.send_again, name="send_again"),
]
