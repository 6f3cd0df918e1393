"""The protocol: tick, dispatch, launch, record, over ports. Knows nothing of AWS."""
