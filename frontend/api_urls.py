from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from annotation import api as annotation_api
from annotation.api_alarms import AlarmViewSet
from annotation.api_members import MemberViewSet
from annotation.api_queue import AssignmentViewSet, TaskViewSet
from annotation.api_snapshots import SnapshotViewSet
from annotation.api_webhooks import DeliveryViewSet, WebhookViewSet
from frontend.api_docs import ApiDocs
from training import api as training_api
from training.api_autopilot import AutopilotViewSet
from training.api_costs import CostViewSet
from training.api_evaluations import EvaluationViewSet
from training.api_playground import ExchangeViewSet
from training.api_policies import PolicyViewSet
from training.api_prompt_tuning import MethodsViewSet, TemplateViewSet, VerbalizerViewSet
from training.api_proposals import PoolViewSet, ProposalViewSet

projects = SimpleRouter()
projects.register("projects", annotation_api.ProjectViewSet)

inside = SimpleRouter()
inside.register("alarms", AlarmViewSet)
inside.register("members", MemberViewSet)
inside.register("policies", PolicyViewSet)
inside.register("prompts", annotation_api.PromptViewSet)
inside.register("tasks", TaskViewSet)
inside.register("assignments", AssignmentViewSet, basename="assignment")
inside.register("rankings", annotation_api.RankingViewSet)
inside.register("references", annotation_api.ReferenceViewSet)
inside.register("snapshots", SnapshotViewSet)
inside.register("quality", annotation_api.QualityViewSet, basename="quality")
inside.register("templates", TemplateViewSet)
inside.register("verbalizers", VerbalizerViewSet)
inside.register("autopilot", AutopilotViewSet, basename="autopilot")
inside.register("playground", ExchangeViewSet)
inside.register("costs", CostViewSet, basename="cost")
inside.register("evaluations", EvaluationViewSet)
inside.register("methods", MethodsViewSet, basename="method")
inside.register("rounds", training_api.RoundViewSet)
inside.register("proposals", ProposalViewSet)
inside.register("pool", PoolViewSet, basename="pool")
inside.register("webhooks", WebhookViewSet)
inside.register(r"webhooks/(?P<webhook>\d+)/deliveries", DeliveryViewSet)

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", ApiDocs.as_view(url_name="schema"), name="api_docs"),
    path("", include((projects.urls, "api"))),
    path("projects/<slug:slug>/", include((inside.urls, "api_project"))),
]
