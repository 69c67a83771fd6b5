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
    COMPREPLY=($(compgen -W "format info df ls cat get put rm check resize bench --help" -- "$current"))
    return
  fi
  case ${COMP_WORDS[$1]} in
    format) options="--name --extent-unit --force --yes" ;;
    info | df | ls) options="--json" ;;
    get | put) options="--force" ;;
    rm) options="--yes" ;;
    check) options="--repair --cut-damaged-journal --json" ;;
    bench) options="--size --seconds --latency-goal --save --json" ;;
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
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}

_tifs() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      format | mount | umount | info | stats | fsck | gc | bench | volume)
        command=${COMP_WORDS[i]}
        break
        ;;
    esac
  done
  if [ -z "$command" ]; then
    COMPREPLY=($(compgen -W "format mount umount info stats fsck gc bench volume --help --version" -- "$current"))
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
    info | gc) options="--json" ;;
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

  case $command in
    umount | stats) COMPREPLY=($(compgen -W "$(_tifs_mounts)" -- "$current")) ;;
    info | gc) COMPREPLY=($(compgen -W "$(_tifs_mounts) rocks:///" -- "$current")) ;;
    format | fsck) COMPREPLY=($(compgen -W "rocks:///" -- "$current")) ;;
    mount) COMPREPLY=($(compgen -W "rocks:///" -- "$current") $(compgen -d -- "$current")) ;;
    bench) COMPREPLY=($(compgen -d -- "$current")) ;;
  esac
  if [[ ${COMPREPLY[0]-} == rocks:///* ]]; then compopt -o nospace 2>/dev/null; fi
  return 0
}

complete -F _tifs tifs
