"""Operations on tensors, each with a plain counterpart in `naive`."""
