"""What runs make: one module per product, which knows all that is particular to it. Everybody else asks PRODUCTS.

policy         a new version of the policy
reward_model   scores answers as people would
completions    answers of versions, which people rank
comparisons    answers of two versions, which people compare blind
classifier     a prompted or tuned model that labels texts
proposals      tasks that a model wrote, which people review

To add a product: a module here with `PRODUCT`, one test file. An installed package adds one with an entry point of the
group `prefloop.products` that names its `PRODUCT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from django.utils.translation import gettext

from annotation.errors import NotPossible
from annotation.models import Project
from training.methods import METHODS, Method, making
from training.models import TrainingRun
from training.plugins import Registry
from training.products.base import Product, Section

PRODUCTS = Registry("training.products", "PRODUCT", Product, "prefloop.products")


def product_of(method: Method) -> Product:
    """Return what a method makes. Raises NotPossible where the package that brought the product is not installed."""
    if method.makes not in PRODUCTS:
        raise NotPossible(
            gettext("%(label)s: the package that brings this method, or what it makes, is not installed.")
            % {"label": method.label}
        )
    return PRODUCTS[method.makes]


def is_chance(run: TrainingRun) -> bool:
    """Return whether the accuracy of what a run made is no better than guessing."""
    product = PRODUCTS.get(run.spec.makes)
    accuracy = run.result.get("accuracy")
    return product is not None and product.chance is not None and accuracy is not None and accuracy <= product.chance


def methods_where(holds: Callable[[Product], bool]) -> list[str]:
    """Return the names of the methods whose product has a trait."""
    return making(*(product.name for product in PRODUCTS.values() if holds(product)))


def sections_of(project: Project, runs: Sequence[TrainingRun]) -> Iterator[Section]:
    """Yield the sections that a round's page has below its runs, product by product."""
    for product in PRODUCTS.values():
        own = [run for run in runs if run.method in METHODS and METHODS[run.method].makes == product.name]
        if own:
            yield from product.sections(project, own)
