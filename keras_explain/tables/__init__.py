"""What a model makes of a whole table, column by column."""

from keras_explain.tables.contributions import Contributions, contributions

__all__ = ["Contributions", "contributions"]
