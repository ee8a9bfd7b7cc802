from .experiment.config import Experiment as Experiment
from .pipeline import DDMI as DDMI
from .recipes import PRESETS as PRESETS
from .recipes import Recipe as Recipe
from .recipes import recipe as recipe
from .registry import RECIPES as RECIPES
from .registry import make_experiment as make_experiment

__version__: str
