"""The images of containers on this node: pulled when they are needed, once for all who need them at the same time.

reference    is this the name of an image, and of which
credentials  which of a pod's pull secrets fit an image
pulling      present, pulling, or failed and waiting for the next try
"""
