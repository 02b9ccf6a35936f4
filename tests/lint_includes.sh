#!/bin/sh
# Includes point one way. Each folder lists the folders whose headers it may include; anything else fails.
set -eu
cd "$(dirname "$0")/.."
bad=0
allow() { # folder, allowed folders...
  folder=$1; shift
  pattern=$(printf '%s\n' "$folder" "$@" | paste -sd'|')
  hits=$(grep -nE '^#include "[a-z_]+/' "$folder"/*.c "$folder"/*.h "$folder"/*.cc 2>/dev/null |
    grep -vE "#include \"($pattern)/" || true)
  if [ -n "$hits" ]; then echo "$folder/ may include only: $folder $*"; echo "$hits"; bad=1; fi
}
only() { # header pattern, files allowed to include it (extended regex)
  hits=$(git ls-files '*.c' '*.h' '*.cc' | grep -vE '^(tests|bench)/' |
    xargs grep -nE "^#include [<\"]$1" | grep -vE "^($2):" || true)
  if [ -n "$hits" ]; then echo "only $2 may include $1"; echo "$hits"; bad=1; fi
}
allow platform
allow model platform
allow ottl model platform
allow net platform
allow component model platform
allow receivers component model net platform
allow exporters component model net platform
allow extensions component net platform
allow processors component model ottl platform
allow connectors component model platform
[ -f pipeline/registry.c ] && only '(receivers|processors|exporters|connectors|extensions)/(receivers|processors|exporters|connectors|extensions)\.h' '(receivers|processors|exporters|connectors|extensions|pipeline/registry\.c).*'
allow pipeline component model platform receivers processors exporters connectors extensions
allow config pipeline component platform
allow cmd config pipeline component model net platform
only 'uv\.h' '(platform/(loop|ring|clock|cpu)|net/).*'
only 'yaml\.h' 'config/yaml\.c'
only 'nghttp2/' 'net/.*'
only 'openssl/' 'net/tls_lib.h'
only '(model/proto|protobuf-c)' 'model/.*'
hits=$(grep -nE '#include "(pipeline)/' config/*.c config/*.h 2>/dev/null | grep -vE '"pipeline/(plan|registry)\.h"' || true)
[ -z "$hits" ] || { echo "config/ sees only the plan and the registry"; echo "$hits"; bad=1; }
[ $bad = 0 ] && echo "  LINT  includes point one way"
exit $bad
