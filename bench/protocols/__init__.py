"""What the benches of detection share: runs in folders, their evaluation, tables with intervals."""
