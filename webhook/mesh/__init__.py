"""Everything that is Istio's: eligibility, sidecars, patches, protocol selection, configuration objects. Pure."""
