"""People judging text.

Project     one campaign: guidelines, candidates per task, seats per task, base model
GuidelinesVersion  the guidelines as they stood until the next version
Membership  a user in a project: annotator, reviewer or admin
Prompt      chat messages that want an answer; its train/eval split is fixed by hash at import
PolicyVersion  an author of completions: v0 is the base model, later ones come out of training rounds
Completion  one answer to a prompt: by a policy version, by a person (a reference answer) or imported
Task        a prompt, a kind, a frozen set of candidates, a number of seats
Assignment  one seat at a task: empty, held until `expires_at`, then done, skipped or lapsed
Ranking     tiers of candidates, best first; equal tier = tie
Label       the class that a person gave a text
UnaryJudgment  whether one response is good or bad by itself, and why it is bad
ReferenceAnswer  the answer the annotator would have wanted
FirstVersion  what they wrote of it before they saw the candidates, where a project asks for that
ProposalBatch, Proposal  tasks that a model proposed for instruction tuning, and where each came from
ProposalReview  a person's decision on one: accepted, changed or rejected
Flag        what a person found wrong with a prompt or an answer
Adjudication  a reviewer's order of a task, taken instead of the votes
GoldAnswer  the known order of a task, which other people's orders are held against
QualityFigures  the figures of a large project's quality, as a worker last made them
Exclusion   a person's judgments are left out of snapshots, for a reason
ReviewComment  what a reviewer told an annotator about an annotation, and what they replied
Revision    an annotation as it was before its author undid it or a reviewer sent it back
PracticeRound  one go of a new annotator at the practice tasks
Evaluation, Comparison  two authors' answers to the same prompts, blind beside each other
Alarm       the policy as a whole has gone wrong: nothing is sampled until an admin has looked
ImportedJudgment, ImportedLabel  what a file says that other people said elsewhere
Feedback    what an end user of a product said of a response: thumb, score, choice of two, edit or comment
FeedbackChange  what it said before the product updated it
ServedResponse  what a served policy said to a product, for a while
AIJudge     a model that compares responses, as an annotator of its own kind
AIJudgeVersion, AIJudgeRun  its server, model and rubric at a time; one version at work
AIJudgment  what a version said of two responses, in both orders
DatasetSnapshot  an immutable file of judgments that training starts from
Withdrawal  from when on a person's judgments no longer count
Token       a key to the API for a program; its Scopes are what it may do
Webhook, Delivery  an address that is told of a project's events, and one event on its way there
Invitation  a link by which people join a project, with an account of their own making
SavedView, RecordChange  a list of records under a name; what was changed of a record by hand
AuditEvent  who did what to whom, when and from where; the database keeps it as it is
Preferences  what a person has chosen for their account: the language of pages and mails, time zone and theme
MailMessage  a mail to a member who asked for it, on its way
Notification  what one person is told in the application
ServerSetup  whether the first admin of this server was made on the first-run page
"""

from annotation.models.ai_judge import AIJudge, AIJudgeRun, AIJudgeRunStatus, AIJudgeVersion, AIJudgment
from annotation.models.alarm import Alarm
from annotation.models.audit import AuditAction, AuditEvent
from annotation.models.evaluation import Comparison, Evaluation
from annotation.models.feedback import Feedback, FeedbackChange, Preferred, ServedResponse, Thumb
from annotation.models.first_admin import ServerSetup
from annotation.models.flag import Flag, FlagReason, FlagStatus
from annotation.models.guidelines import GuidelinesVersion
from annotation.models.imported import ImportedJudgment, ImportedLabel, ImportMapping
from annotation.models.invitation import Invitation
from annotation.models.judgment import (
    BadReason,
    FirstVersion,
    Label,
    ProposalReview,
    Ranking,
    ReferenceAnswer,
    RejectReason,
    UnaryJudgment,
    Verdict,
)
from annotation.models.mail import MailMessage
from annotation.models.notification import Notification, NotificationKind
from annotation.models.outgoing import DeliveryStatus
from annotation.models.preferences import Preferences, Theme, language_of
from annotation.models.project import LongPrompts, Membership, Project, RankingMode, RationaleRule, Role, Thoughts
from annotation.models.proposal import Proposal, ProposalBatch
from annotation.models.quality import Adjudication, Exclusion, GoldAnswer, PracticeRound, ReviewComment
from annotation.models.quality_figures import FiguresStatus, QualityFigures
from annotation.models.records import RecordChange, RecordKind, SavedView
from annotation.models.revision import Revision
from annotation.models.snapshot import DatasetSnapshot, SnapshotType, Withdrawal
from annotation.models.task import Assignment, Candidate, Purpose, SeatStatus, Task
from annotation.models.text import (
    Completion,
    ImportStatus,
    PolicyVersion,
    Prompt,
    PromptUpload,
    Source,
    Split,
    UploadChunk,
    UploadPart,
)
from annotation.models.token import Scope, Token
from annotation.models.webhook import Delivery, Event, Webhook

__all__ = [
    "AIJudge",
    "AIJudgeRun",
    "AIJudgeRunStatus",
    "AIJudgeVersion",
    "AIJudgment",
    "Adjudication",
    "Alarm",
    "Assignment",
    "AuditAction",
    "AuditEvent",
    "BadReason",
    "Candidate",
    "Comparison",
    "Completion",
    "DatasetSnapshot",
    "Delivery",
    "DeliveryStatus",
    "Evaluation",
    "Event",
    "Exclusion",
    "Feedback",
    "FeedbackChange",
    "FiguresStatus",
    "FirstVersion",
    "Flag",
    "FlagReason",
    "FlagStatus",
    "GoldAnswer",
    "GuidelinesVersion",
    "ImportMapping",
    "ImportStatus",
    "ImportedJudgment",
    "ImportedLabel",
    "Invitation",
    "Label",
    "LongPrompts",
    "MailMessage",
    "Membership",
    "Notification",
    "NotificationKind",
    "PolicyVersion",
    "PracticeRound",
    "Preferences",
    "Preferred",
    "Project",
    "Prompt",
    "PromptUpload",
    "Proposal",
    "ProposalBatch",
    "ProposalReview",
    "Purpose",
    "QualityFigures",
    "Ranking",
    "RankingMode",
    "RationaleRule",
    "RecordChange",
    "RecordKind",
    "ReferenceAnswer",
    "RejectReason",
    "ReviewComment",
    "Revision",
    "Role",
    "SavedView",
    "Scope",
    "SeatStatus",
    "ServedResponse",
    "ServerSetup",
    "SnapshotType",
    "Source",
    "Split",
    "Task",
    "Theme",
    "Thoughts",
    "Thumb",
    "Token",
    "UnaryJudgment",
    "UploadChunk",
    "UploadPart",
    "Verdict",
    "Webhook",
    "Withdrawal",
    "language_of",
]
