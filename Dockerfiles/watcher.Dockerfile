# The folder that turns any image with a Python into the image of a function:
#
#     COPY --from=dcf/watcher:VERSION /dcf/watcher /dcf/watcher
#
# The image that copies it needs only Python 3.9 or later and glibc 2.34 or later. `make images` builds this image.
# The context is the folder that scripts/watcher-folder.sh makes.
FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="dcf watcher" org.opencontainers.image.version="${VERSION}"
COPY watcher /dcf/watcher
