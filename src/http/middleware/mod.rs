//! What every request passes through, outermost first.
