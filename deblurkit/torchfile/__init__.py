"""Files of ``torch.save``, whoever wrote them: what they ask for is checked before torch gives it."""
