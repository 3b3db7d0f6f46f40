"""Every backbone by name. A new one is added here, and the shared checks run on it."""

from collections.abc import Callable

from models.backbone import Backbone, Rows
from models.gmf import GMF, GMFConfig
from models.lightgcn import LightGCN, LightGCNConfig
from models.neumf import NeuMF, NeuMFConfig
from models.ngcf import NGCF, NGCFConfig
from models.pinsage import PinSage, PinSageConfig
from models.sasrec import SASRec, SASRecConfig

BACKBONES: dict[str, Callable[[Rows, int], Backbone]] = {
    "gmf": lambda rows, dim: GMF(rows, GMFConfig(dim=dim)),
    "neumf": lambda rows, dim: NeuMF(rows, NeuMFConfig(dim=dim, hidden=(2 * dim, dim))),
    "lightgcn": lambda rows, dim: LightGCN(rows, LightGCNConfig(dim=dim)),
    "ngcf": lambda rows, dim: NGCF(rows, NGCFConfig(dim=dim)),
    "pinsage": lambda rows, dim: PinSage(rows, PinSageConfig(dim=dim)),
    "sasrec": lambda rows, dim: SASRec(rows, SASRecConfig(dim=dim)),
}
"""Name -> a function of the numbers of rows and the width of the embeddings."""
