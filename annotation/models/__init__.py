"""People judging text.

Project     one campaign: guidelines, candidates per task, seats per task, base model
Membership  a user in a project: annotator, reviewer or admin
Prompt      chat messages that want an answer; its train/eval split is fixed by hash at import
PolicyVersion  an author of completions: v0 is the base model, later ones come out of training rounds
Completion  one answer to a prompt: by a policy version, by a person (a reference answer) or imported
Task        a prompt, a kind, a frozen set of candidates, a number of seats
Assignment  one seat at a task: empty, held until `expires_at`, then done, skipped or lapsed
Ranking     tiers of candidates, best first; equal tier = tie
ReferenceAnswer  the answer the annotator would have wanted
ImportedPreference, ImportedLabel  what a file says that other people said elsewhere
DatasetSnapshot  an immutable file of judgments that training starts from
Withdrawal  from when on somebody's judgments no longer count
Token       a key to the API that somebody made for a program; a Scope is what it is for
Webhook, Delivery  an address that is told of a project's events, and one event on its way there
"""

from annotation.models.imported import ImportedLabel, ImportedPreference
from annotation.models.judgment import Ranking, ReferenceAnswer
from annotation.models.project import Membership, Project, Role
from annotation.models.snapshot import DatasetSnapshot, SnapshotType, Withdrawal
from annotation.models.task import Assignment, Candidate, SeatStatus, Task
from annotation.models.text import Completion, PolicyVersion, Prompt, PromptUpload, Source, Split
from annotation.models.token import Scope, Token
from annotation.models.webhook import Delivery, DeliveryStatus, Event, Webhook

__all__ = [
    "Assignment",
    "Candidate",
    "Completion",
    "DatasetSnapshot",
    "Delivery",
    "DeliveryStatus",
    "Event",
    "ImportedLabel",
    "ImportedPreference",
    "Membership",
    "PolicyVersion",
    "Project",
    "Prompt",
    "PromptUpload",
    "Ranking",
    "ReferenceAnswer",
    "Role",
    "Scope",
    "SeatStatus",
    "SnapshotType",
    "Source",
    "Split",
    "Task",
    "Token",
    "Webhook",
    "Withdrawal",
]
