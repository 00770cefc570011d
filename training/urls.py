from django.urls import path

from training import proposal_views, tokens, views

urlpatterns = [
    path("<slug:slug>/rounds/", views.round_list, name="rounds"),
    path("<slug:slug>/rounds/tokens/", tokens.instruction_tokens, name="instruction_tokens"),
    path("<slug:slug>/rounds/<int:number>/", views.round_detail, name="round"),
    path("<slug:slug>/rounds/<int:number>/tokens/", tokens.round_tokens, name="round_tokens"),
    path("<slug:slug>/rounds/<int:number>/cancel/", views.cancel, name="round_cancel"),
    path("<slug:slug>/rounds/<int:number>/go-on/", views.go_on, name="round_go_on"),
    path("<slug:slug>/rounds/<int:number>/pause/", views.pause, name="round_pause"),
    path("<slug:slug>/rounds/<int:number>/resume/", views.resume, name="round_resume"),
    path("<slug:slug>/rounds/<int:number>/retry/", views.retry, name="round_retry"),
    path("<slug:slug>/rounds/<int:number>/metrics.json", views.metrics, name="round_metrics"),
    path("<slug:slug>/proposals/", proposal_views.proposal_list, name="proposals"),
    path("<slug:slug>/proposals/<int:pk>/", proposal_views.proposal, name="proposal"),
]
