"""What the bench of training speed is made of: data without a disk, the floor, memory."""
