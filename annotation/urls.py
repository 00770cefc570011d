from django.urls import path

from annotation.views import practice, projects, quality, review, snapshots, work

urlpatterns = [
    path("new/", projects.create, name="project_create"),
    path("<slug:slug>/settings/", projects.edit, name="project_edit"),
    path("<slug:slug>/members/", projects.members, name="members"),
    path("<slug:slug>/prompts/", projects.prompt_list, name="prompts"),
    path("<slug:slug>/prompts/uploads/<int:pk>/", projects.upload, name="upload"),
    path("<slug:slug>/prompts/uploads/<int:pk>/take/", projects.take_upload, name="take_upload"),
    path("<slug:slug>/annotate/", work.annotate, name="annotate"),
    path("<slug:slug>/tasks/<int:pk>/", work.assignment, name="assignment"),
    path("<slug:slug>/tasks/<int:pk>/draft/", work.save_draft, name="save_draft"),
    path("<slug:slug>/tasks/<int:pk>/submit/", work.submit, name="submit"),
    path("<slug:slug>/tasks/<int:pk>/skip/", work.skip, name="skip"),
    path("<slug:slug>/snapshots/", snapshots.snapshot_list, name="snapshots"),
    path("<slug:slug>/snapshots/<int:number>/download/", snapshots.download, name="snapshot_download"),
    path("<slug:slug>/quality/", quality.report, name="quality"),
    path("<slug:slug>/quality/weights/", quality.weights, name="quality_weights"),
    path("<slug:slug>/quality/annotators/<int:pk>/exclude/", quality.exclude, name="quality_exclude"),
    path("<slug:slug>/quality/annotators/<int:pk>/lift/", quality.lift, name="quality_lift"),
    path("<slug:slug>/review/", review.task_list, name="review"),
    path("<slug:slug>/review/<int:pk>/", review.task, name="review_task"),
    path("<slug:slug>/review/<int:pk>/withdraw/", review.withdraw, name="review_withdraw"),
    path("<slug:slug>/review/<int:pk>/known/", review.mark_known, name="review_mark_known"),
    path("<slug:slug>/review/judgments/<int:pk>/comment/", review.comment, name="review_comment"),
    path("<slug:slug>/known/", review.known, name="known"),
    path("<slug:slug>/known/<int:pk>/practice/", review.set_practice, name="known_practice"),
    path("<slug:slug>/practice/", practice.practice, name="practice"),
    path("<slug:slug>/mine/", practice.own_work, name="own_work"),
    path("<slug:slug>/mine/comments/<int:pk>/read/", practice.read_comment, name="comment_read"),
]
