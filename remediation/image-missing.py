"""Image missing: the version to deploy has no tag, or an image that does not exist.

Symptom
    VERSION is empty or `latest`, the compose file starts images by a moving tag, or the container engine has no image of that
    tag.

Diagnosis
    1. What would be started?
           docker compose config --images
    2. Does the engine have it, does the registry?
           docker image ls nightscan/web; docker manifest inspect nightscan/web:$VERSION
    3. Did the build of that version succeed?

Correction, mildest first
    1. Set VERSION in .env to the tag that was built and tested; never `latest`: nobody can go back to it.
    2. Fetch it before the deployment begins: docker compose pull web
    3. Build and push that version, under its own tag.

Last resort
    Deploy the previous version again.

Verify
    pytest checks/configuration/deployment.py
"""
