"""The protocol: tick, dispatch, launch and record, implemented over ports and independent of AWS."""
