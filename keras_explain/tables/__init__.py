"""What a model makes of a whole table, column by column."""

from keras_explain.tables.accumulated_effects import AccumulatedEffects, accumulated_effects
from keras_explain.tables.contributions import Contributions, contributions
from keras_explain.tables.counterfactuals import Counterfactual, counterfactuals
from keras_explain.tables.permutation_importance import (
    PermutationImportance,
    permutation_importance,
)

__all__ = ["AccumulatedEffects", "Contributions", "Counterfactual", "PermutationImportance",
           "accumulated_effects", "contributions", "counterfactuals", "permutation_importance"]
