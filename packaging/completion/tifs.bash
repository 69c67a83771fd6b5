# bash completion of tifs(1)

_tifs_mounts() {
  local source point type rest
  while read -r source point type rest; do
    [ "$type" = fuse.tifs ] && printf '%b\n' "$point"
  done < /proc/self/mounts
}

# Completes the last of a comma-separated list of mount options.
_tifs_mount_options() {
  local all="ro rw remount subdir= relatime noatime strictatime umask= allow_other noallow_other suid nosuid
    dev nodev exec noexec sync async memory= threads= pm_qos nopm_qos log= log_level= metrics= defaults nofail noauto _netdev"
  local done="" word=$1
  if [[ $word == *,* ]]; then
    done=${word%,*},
    word=${word##*,}
  fi
  COMPREPLY=($(compgen -P "$done" -W "$all" -- "$word"))
  compopt -o nospace 2>/dev/null
}

# `tifs volume ...`; the word after "volume" is COMP_WORDS[$1].
_tifs_volume() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options=""
  if ((COMP_CWORD == $1)); then
    COMPREPLY=($(compgen -W "format info df ls cat get put rm check resize bench io --help" -- "$current"))
    return
  fi
  case ${COMP_WORDS[$1]} in
    format) options="--name --extent-unit --force --yes --json" ;;
    info | df | ls | resize) options="--json" ;;
    get | put) options="--force" ;;
    rm) options="--recursive --yes" ;;
    check) options="--repair --cut-damaged-journal --json" ;;
    bench) options="--size --seconds --latency-goal --save --json" ;;
    io) options="--json" ;;
  esac
  case $previous in
    --extent-unit)
      COMPREPLY=($(compgen -W "4KiB 16KiB 64KiB 256KiB 1MiB 4MiB 16MiB" -- "$current"))
      return
      ;;
    --name | --size | --seconds | --latency-goal) return ;;
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options --help" -- "$current"))
  elif [ "${COMP_WORDS[$1]}" = io ] && ((COMP_CWORD == $1 + 1)); then
    COMPREPLY=($(compgen -W "$(_tifs_mounts)" -- "$current"))
  elif [ "${COMP_WORDS[$1]}" = io ]; then
    COMPREPLY=($(compgen -W "scheduler= latency_goal_ms= min_background_percent= flush.weight= flush.max_bytes_per_s=
      flush.max_iops= compaction.weight= compaction.max_bytes_per_s= compaction.max_iops= migration.weight=
      migration.max_bytes_per_s= migration.max_iops=" -- "$current"))
    compopt -o nospace 2>/dev/null
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}

# Completes a store's URI, with the parameters after its '?', up to what readline takes for the last
# word: unless the URI is quoted, ':' and '=' end words.
_tifs_uri() {
  local line=${COMP_LINE:0:COMP_POINT} current=$1 word head value kind name known
  word=${line##*[[:space:]]}
  case $current in
    : | = | :=) current="" ;;
    \'* | \"*) current=${current:1} word=${word:1} ;;
  esac
  if [[ $word == rocks:///*\?* ]]; then
    value=${word##*[?&]} head=${word%"${word##*[?&]}"}
    case $value in
      volume=file:/* | volume=/*)
        name=${value#volume=} kind=volume=
        [[ $name == file:* ]] && name=${name#file:} kind=volume=file:
        COMPREPLY=($(compgen -f -P "$head$kind" -- "$name"))
        ;;
      volume=*) COMPREPLY=($(compgen -P "${head}volume=" -W "/dev/ file:/" -- "${value#volume=}")) ;;
      *) COMPREPLY=($(compgen -P "$head" -W "volume= root=" -- "$value")) ;;
    esac
  elif [[ $word == rocks:///?* ]]; then
    name=${word#rocks://}
    COMPREPLY=($(compgen -d -P rocks:// -- "$name"))
    [ -d "$name" ] && COMPREPLY+=("$word?volume=")
  else
    COMPREPLY=($(compgen -W "rocks:///" -- "$word"))
  fi
  known=${word%"$current"}
  COMPREPLY=("${COMPREPLY[@]#"$known"}")
  compopt -o nospace 2>/dev/null
}

_tifs() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      format | mount | umount | info | stats | fsck | gc | bench | list | sessions | destroy | volume)
        command=${COMP_WORDS[i]}
        break
        ;;
    esac
  done
  if [ -z "$command" ]; then
    COMPREPLY=($(compgen -W "format mount umount info stats fsck gc bench list sessions destroy volume --help --version" -- "$current"))
    return
  fi

  if [ "$command" = volume ]; then
    _tifs_volume $((i + 1))
    return
  fi

  local options=""
  case $command in
    format) options="--block-size --capacity --inodes --name --force --yes --json" ;;
    mount) options="--options --read-only --foreground -o" ;;
    umount) options="--lazy" ;;
    info | gc | list) options="--json" ;;
    sessions) options="--evict --json" ;;
    destroy) options="--name" ;;
    stats) options="--watch --interval --json" ;;
    fsck) options="--dry-run --yes --json -n -y" ;;
    bench) options="--size --files --json" ;;
  esac
  case $previous in
    -o | --options)
      _tifs_mount_options "$current"
      return
      ;;
    --block-size)
      COMPREPLY=($(compgen -W "4KiB 8KiB 16KiB 32KiB 64KiB 128KiB 256KiB 512KiB 1MiB" -- "$current"))
      return
      ;;
    --capacity | --inodes | --name | --interval | --size | --files) return ;;
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options --help" -- "$current"))
    return
  fi

  local uri=""
  case $command in
    umount | stats) COMPREPLY=($(compgen -W "$(_tifs_mounts)" -- "$current")) ;;
    info | gc) uri=1 COMPREPLY=($(compgen -W "$(_tifs_mounts)" -- "$current")) ;;
    format | fsck) uri=1 ;;
    mount) uri=1 COMPREPLY=($(compgen -d -- "$current")) ;;
    bench) COMPREPLY=($(compgen -d -- "$current")) ;;
  esac
  if [ -n "$uri" ]; then
    local others=("${COMPREPLY[@]}")
    COMPREPLY=()
    _tifs_uri "$current"
    COMPREPLY+=("${others[@]}")
  fi
  return 0
}

complete -F _tifs tifs
