from django.urls import path

from annotation.views import flags, projects, snapshots, work

urlpatterns = [
    path("new/", projects.create, name="project_create"),
    path("<slug:slug>/settings/", projects.edit, name="project_edit"),
    path("<slug:slug>/close/", projects.close, name="project_close"),
    path("<slug:slug>/reopen/", projects.reopen, name="project_reopen"),
    path("<slug:slug>/members/", projects.members, name="members"),
    path("<slug:slug>/members/<int:pk>/remove/", projects.remove_member, name="member_remove"),
    path("<slug:slug>/prompts/", projects.prompt_list, name="prompts"),
    path("<slug:slug>/prompts/uploads/<int:pk>/", projects.upload, name="upload"),
    path("<slug:slug>/prompts/uploads/<int:pk>/take/", projects.take_upload, name="take_upload"),
    path("<slug:slug>/annotate/", work.annotate, name="annotate"),
    path("<slug:slug>/tasks/<int:pk>/", work.assignment, name="assignment"),
    path("<slug:slug>/tasks/<int:pk>/draft/", work.save_draft, name="save_draft"),
    path("<slug:slug>/tasks/<int:pk>/submit/", work.submit, name="submit"),
    path("<slug:slug>/tasks/<int:pk>/skip/", work.skip, name="skip"),
    path("<slug:slug>/undo/", work.undo, name="undo"),
    path("<slug:slug>/tasks/<int:pk>/flag/", flags.flag, name="flag"),
    path("<slug:slug>/flags/", flags.flag_list, name="flags"),
    path("<slug:slug>/flags/<int:pk>/dismiss/", flags.dismiss, name="flag_dismiss"),
    path("<slug:slug>/flags/<int:pk>/withdraw/", flags.withdraw, name="flag_withdraw"),
    path("<slug:slug>/snapshots/", snapshots.snapshot_list, name="snapshots"),
    path("<slug:slug>/snapshots/<int:number>/download/", snapshots.download, name="snapshot_download"),
]
