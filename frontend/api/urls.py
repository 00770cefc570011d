from django.urls import include, path
from rest_framework.routers import SimpleRouter

from annotation.api import projects as annotation_api
from annotation.api.ai_judges import AIJudgeViewSet
from annotation.api.alarms import AlarmViewSet
from annotation.api.audit import AuditViewSet
from annotation.api.feedback import FeedbackViewSet
from annotation.api.guidelines import GuidelinesViewSet
from annotation.api.imports import ImportViewSet, PromptViewSet
from annotation.api.invitations import InvitationViewSet
from annotation.api.members import MemberViewSet
from annotation.api.pagination import NUMBER
from annotation.api.queue import AssignmentViewSet, TaskViewSet
from annotation.api.snapshots import SnapshotViewSet
from annotation.api.webhooks import DeliveryViewSet, WebhookViewSet
from frontend.api.docs import ApiDocs, ApiSchema
from training.api import rounds as training_api
from training.api.autopilot import AutopilotViewSet
from training.api.compute import ComputeViewSet
from training.api.costs import CostViewSet
from training.api.evaluations import EvaluationViewSet
from training.api.playground import ExchangeViewSet
from training.api.policies import PolicyViewSet
from training.api.prompt_tuning import ApproachesViewSet, TemplateViewSet, VerbalizerViewSet
from training.api.proposals import PoolViewSet, ProposalViewSet

projects = SimpleRouter()
projects.register("projects", annotation_api.ProjectViewSet)

inside = SimpleRouter()
inside.register("alarms", AlarmViewSet)
inside.register("feedback", FeedbackViewSet)
inside.register("guidelines", GuidelinesViewSet, basename="guidelines")
inside.register("judges", AIJudgeViewSet)
inside.register("members", MemberViewSet)
inside.register("policies", PolicyViewSet)
inside.register("prompts", PromptViewSet)
inside.register("imports", ImportViewSet, basename="import")
inside.register("tasks", TaskViewSet)
inside.register("assignments", AssignmentViewSet, basename="assignment")
inside.register("rankings", annotation_api.RankingViewSet)
inside.register("unary", annotation_api.UnaryViewSet)
inside.register("references", annotation_api.ReferenceViewSet)
inside.register("snapshots", SnapshotViewSet)
inside.register("quality", annotation_api.QualityViewSet, basename="quality")
inside.register("templates", TemplateViewSet)
inside.register("verbalizers", VerbalizerViewSet)
inside.register("autopilot", AutopilotViewSet, basename="autopilot")
inside.register("compute", ComputeViewSet, basename="compute")
inside.register("playground", ExchangeViewSet)
inside.register("costs", CostViewSet, basename="cost")
inside.register("evaluations", EvaluationViewSet)
inside.register("methods", ApproachesViewSet, basename="method")
inside.register("rounds", training_api.RoundViewSet)
inside.register("proposals", ProposalViewSet)
inside.register("pool", PoolViewSet, basename="pool")
inside.register("audit", AuditViewSet, basename="audit")
inside.register("invitations", InvitationViewSet)
inside.register("webhooks", WebhookViewSet)
inside.register(rf"webhooks/(?P<webhook>{NUMBER})/deliveries", DeliveryViewSet)

urlpatterns = [
    path("schema/", ApiSchema.as_view(), name="schema"),
    path("docs/", ApiDocs.as_view(url_name="schema"), name="api_docs"),
    path("", include((projects.urls, "api"))),
    path("projects/<slug:slug>/", include((inside.urls, "api_project"))),
]
