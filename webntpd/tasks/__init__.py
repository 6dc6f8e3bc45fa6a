"""Tasks that outlive their failures, and services that a reload starts, replaces or stops."""
