from .experiment.config import Experiment as Experiment
from .pipeline import DDMI as DDMI
from .recipes import PRESETS as PRESETS
from .recipes import RECIPES as RECIPES
from .recipes import Recipe as Recipe
from .recipes import make_experiment as make_experiment
from .recipes import recipe as recipe

__version__: str
