from .datasets.splits import Split as Split
from .datasets.splits import split_of as split_of
from .modality import Batch as Batch
from .modality import DataSet as DataSet
from .modality import FunctionSource as FunctionSource
from .modality import Modality as Modality
from .modality import Rendering as Rendering
from .spec import EvaluationProtocol as EvaluationProtocol
from .spec import Measured as Measured
from .spec import ModalitySpec as ModalitySpec

__version__: str
