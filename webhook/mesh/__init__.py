"""Everything that is Istio's: eligibility, patches, sidecars, protocol selection, configuration objects. Pure.

Decisions and detection know nothing of it but `MESH`, and so would work with another data plane.
"""

from typing import Final

from webhook.mesh import istio
from webhook.mesh.data_plane import DataPlane

MESH: Final[DataPlane] = istio
