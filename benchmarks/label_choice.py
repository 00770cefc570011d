"""Rules for what people are asked next: which prompts, and which four of the eight responses to each.

Every rule starts from the same random rankings and adds more in rounds, each chosen by heads that learned from those so
far. Heads are linear, so what a ranking would tell can be computed: the Fisher information of a pair with difference d
of features is p(1 − p) dᵀH⁻¹d, where p is the predicted chance that one beats the other and H the curvature of the loss
so far, ridge included (D-optimal design; 2502.04354 for reward models).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from label_answers import RESPONSES
from label_judges import SHOWN, Judge, ranked
from torch import Tensor

from training.recipes.models.choosing import disagreement
from training.recipes.models.rankings import JudgedSet
from training.recipes.process.seeds import generator

START, STEPS = 25, (25, 25, 25)  # rankings: 25, 50, 75, 100
DIRECTIONS = 256  # in which uncertainty is reckoned: the principal ones of the features
SETS = torch.tensor(list(combinations(range(RESPONSES), SHOWN)))
PAIRS = torch.triu_indices(RESPONSES, RESPONSES, 1)
PAIRS_OF_SETS = torch.tensor(
    [[bool({*pair} <= {*chosen}) for pair in PAIRS.T.tolist()] for chosen in SETS.tolist()], dtype=torch.float
)


@dataclass
class Known:
    """What a rule knows: scores of all responses by a few heads, the features, the pairs compared so far."""

    scores: Tensor  # (prompts, responses, heads): the first learned from all rankings, the others from bootstraps
    reduced: Tensor  # (prompts, responses, directions)
    compared: Tensor  # (pairs, directions): differences of features
    ridge: float
    random: torch.Generator

    def inverse(self) -> Tensor:
        """Return H⁻¹, the covariance of the head's weights given the comparisons so far."""
        curvature = self.ridge * torch.eye(self.reduced.shape[-1]) + self.compared.T @ self.compared
        return torch.linalg.inv(curvature)

    def pair_values(self, value: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return `value` of score differences and feature differences for all pairs: (prompts, pairs)."""
        first, second = PAIRS
        gap = self.scores[:, first, 0] - self.scores[:, second, 0]
        return value(gap, self.reduced[:, first] - self.reduced[:, second])


Choice = tuple[Tensor, Tensor]  # a value per prompt, the more the sooner it is asked; its set, an index into SETS


def random_set(known: Known) -> Tensor:
    return torch.randint(len(SETS), (len(known.scores),), generator=known.random)


def by_chance(known: Known) -> Choice:
    return torch.rand(len(known.scores), generator=known.random), random_set(known)


def by_disagreement(known: Known) -> Choice:
    """Prompts by how much two bootstrap heads disagree on four random responses: the product's rule so far."""
    chosen = random_set(known)
    values = [
        disagreement(scores[SETS[place], 1:]) for scores, place in zip(known.scores, chosen.tolist(), strict=True)
    ]
    return torch.tensor(values), chosen


def by_gap(known: Known) -> Choice:
    """Prompts and responses by the largest predicted gaps (DeltaUCB's idea, 2603.09692)."""
    return _best(known.pair_values(lambda gap, _: gap.abs()))


def by_uncertainty(known: Known) -> Choice:
    """Prompts and responses by the smallest predicted gaps."""
    return _best(known.pair_values(lambda gap, _: -gap.abs()))


def by_information(known: Known) -> Choice:
    """Prompts and responses by expected information."""
    return _best(_information(known))


def by_information_prompts(known: Known) -> Choice:
    """Prompts by expected information of four random responses."""
    chosen = random_set(known)
    return (_information(known) * PAIRS_OF_SETS[chosen]).sum(-1), chosen


def by_information_responses(known: Known) -> Choice:
    """Random prompts; of each the four responses by expected information."""
    return torch.rand(len(known.scores), generator=known.random), _best(_information(known))[1]


def by_spread_responses(known: Known) -> Choice:
    """Random prompts; of each the four responses whose features differ most, whatever the heads say."""
    spread = known.pair_values(lambda _, apart: apart.square().sum(-1))
    return torch.rand(len(known.scores), generator=known.random), _best(spread)[1]


def by_thompson(known: Known) -> Choice:
    """Random prompts; of each the best responses of weights drawn from the posterior, until there are four."""
    root = torch.linalg.cholesky(known.inverse())
    drawn = root @ torch.randn(root.shape[0], 16, generator=known.random)
    noisy = known.scores[..., :1] + known.reduced @ drawn  # (prompts, responses, draws)
    wins = torch.nn.functional.one_hot(noisy.argmax(1), RESPONSES).sum(1).float()
    wins += torch.rand(wins.shape, generator=known.random) / 2
    top = wins.topk(SHOWN).indices.sort().values
    chosen = (top[:, None] == SETS).all(-1).float().argmax(-1)
    return torch.rand(len(known.scores), generator=known.random), chosen


RULES: dict[str, Callable[[Known], Choice]] = {
    "random": by_chance,
    "disagreement of heads": by_disagreement,
    "largest predicted gap": by_gap,
    "smallest predicted gap": by_uncertainty,
    "information: prompts and responses": by_information,
    "information: prompts": by_information_prompts,
    "information: responses": by_information_responses,
    "most different responses": by_spread_responses,
    "Thompson: responses": by_thompson,
}


def _information(known: Known) -> Tensor:
    inverse = known.inverse()

    def value(gap: Tensor, apart: Tensor) -> Tensor:
        chance = torch.sigmoid(gap)
        return torch.log1p(chance * (1 - chance) * ((apart @ inverse) * apart).sum(-1))

    return known.pair_values(value)


def _best(values: Tensor) -> Choice:
    """Return for each prompt the set of responses whose pairs are worth most, and what they are worth."""
    worth = values @ PAIRS_OF_SETS.T
    best = worth.max(-1)
    return best.values, best.indices


def curve(
    rule: str, judge: Judge, reduced: Tensor, train: Tensor, seed: int, fitted: Callable[..., tuple[Tensor, float]]
) -> dict[int, Tensor]:
    """Return the scores of all responses by number of rankings, where `rule` chooses what is ranked.

    Each prompt is asked once. `reduced` are the features in few directions (`principal`); `fitted` returns the scores
    (n, heads) by heads that learned from rankings, and their ridge.
    """
    random = generator(seed, "choice")
    order = train[torch.randperm(len(train), generator=random)]
    first = torch.randint(len(SETS), (START,), generator=random)
    asked = {int(prompt): SETS[place] for prompt, place in zip(order[:START], first, strict=True)}
    found: dict[int, Tensor] = {}
    for step in (*STEPS, 0):
        places = torch.stack([prompt * RESPONSES + chosen for prompt, chosen in asked.items()])
        rankings: list[JudgedSet] = ranked(judge, places, seed)
        scores, ridge = fitted(rankings, seed)
        found[len(asked)] = scores[:, 0]
        if not step:
            break
        free = torch.tensor([int(prompt) for prompt in train if int(prompt) not in asked])
        one, other = torch.triu_indices(SHOWN, SHOWN, 1)
        apart, gap = (each[places[:, one]] - each[places[:, other]] for each in (reduced, scores[:, 0]))
        sure = (torch.sigmoid(gap) * torch.sigmoid(-gap) / len(one)).sqrt()
        known = Known(
            scores[_rows(free)].view(len(free), RESPONSES, -1),
            reduced[_rows(free)].view(len(free), RESPONSES, -1),
            (apart * sure[..., None]).flatten(0, 1),
            ridge,
            generator(seed, rule, step),
        )
        values, chosen = RULES[rule](known)
        for place in values.argsort(descending=True)[:step].tolist():
            asked[int(free[place])] = SETS[chosen[place]]
    return found


def principal(features: Tensor, train: Tensor) -> Tensor:
    """Return the features in the directions in which training responses differ most: (n, directions)."""
    centred = features - features.mean(0)
    torch.manual_seed(0)
    _, _, directions = torch.pca_lowrank(centred[_rows(train)], DIRECTIONS, center=False)
    return centred @ directions


def _rows(prompts: Tensor) -> Tensor:
    return (prompts[:, None] * RESPONSES + torch.arange(RESPONSES)).flatten()
