"""What the questions about detection share: trainings in folders, their evaluation, tables with intervals."""
