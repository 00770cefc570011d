from django.urls import path

from training.views import autopilot, evaluations, methods, policies, prompt_tuning, proposals, tokens
from training.views import rounds as views

urlpatterns = [
    path("<slug:slug>/rounds/", views.round_list, name="rounds"),
    path("<slug:slug>/rounds/autopilot/", autopilot.autopilot, name="autopilot"),
    path("<slug:slug>/rounds/tokens/", tokens.instruction_tokens, name="instruction_tokens"),
    path("<slug:slug>/rounds/<int:number>/", views.round_detail, name="round"),
    path("<slug:slug>/rounds/<int:number>/tokens/", tokens.round_tokens, name="round_tokens"),
    path("<slug:slug>/rounds/<int:number>/cancel/", views.cancel, name="round_cancel"),
    path("<slug:slug>/rounds/<int:number>/go-on/", views.go_on, name="round_go_on"),
    path("<slug:slug>/rounds/<int:number>/pause/", views.pause, name="round_pause"),
    path("<slug:slug>/rounds/<int:number>/resume/", views.resume, name="round_resume"),
    path("<slug:slug>/rounds/<int:number>/retry/", views.retry, name="round_retry"),
    path("<slug:slug>/rounds/<int:number>/metrics.json", views.metrics, name="round_metrics"),
    path("<slug:slug>/rounds/<int:number>/metrics.csv", views.metrics_csv, name="round_metrics_csv"),
    path("<slug:slug>/policies/", policies.policy_list, name="policies"),
    path("<slug:slug>/policies/<int:number>/", policies.policy, name="policy"),
    path("<slug:slug>/policies/<int:number>/promote/", policies.promote, name="policy_promote"),
    path("<slug:slug>/policies/<int:number>/package/", policies.package, name="policy_package"),
    path("<slug:slug>/policies/<int:number>/download/", policies.download, name="policy_download"),
    path("<slug:slug>/evaluation/", evaluations.evaluation_list, name="evaluations"),
    path("<slug:slug>/evaluation/<int:number>/", evaluations.evaluation, name="evaluation"),
    path("<slug:slug>/prompt-tuning/", prompt_tuning.overview, name="prompt_tuning"),
    path("<slug:slug>/prompt-tuning/rendered/", prompt_tuning.render_template, name="template_rendered"),
    path("<slug:slug>/prompt-tuning/templates/new/", prompt_tuning.template, name="template_new"),
    path("<slug:slug>/prompt-tuning/templates/<int:pk>/", prompt_tuning.template, name="template"),
    path("<slug:slug>/prompt-tuning/verbalizers/new/", prompt_tuning.verbalizer, name="verbalizer_new"),
    path("<slug:slug>/prompt-tuning/verbalizers/<int:pk>/", prompt_tuning.verbalizer, name="verbalizer"),
    path("<slug:slug>/methods/", methods.methods, name="methods"),
    path("<slug:slug>/methods/<int:number>.csv", methods.methods_csv, name="methods_csv"),
    path("<slug:slug>/methods/<int:number>.svg", methods.methods_figure, name="methods_figure"),
    path("<slug:slug>/proposals/", proposals.proposal_list, name="proposals"),
    path("<slug:slug>/proposals/<int:pk>/", proposals.proposal, name="proposal"),
]
