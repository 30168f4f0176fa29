# The folder that turns any image with a Python into a function's:
#
#     COPY --from=dcf/watcher:VERSION /dcf/watcher /dcf/watcher
#
# It needs nothing of the image but Python 3.9 or later and glibc 2.34 or later. `make images` builds it: the context is the
# folder that scripts/watcher-folder.sh makes.
FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="dcf watcher" org.opencontainers.image.version="${VERSION}"
COPY watcher /dcf/watcher
