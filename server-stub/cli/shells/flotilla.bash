# bash completion of Flotilla's programs; each program knows its own words.
_flotilla()
{
    local line head="" rest typed words=() found=()
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [ "${COMP_LINE:COMP_POINT-1:1}" = " " ] && words+=("")
    typed="${words[${#words[@]}-1]}"
    [[ $typed == --*=* ]] && typed="${typed#*=}"
    # bash replaces the end alone: behind : and =, and from an @ on
    [[ $typed == *[:=]* ]] && head="${typed%"${typed##*[:=]}"}"
    rest="${typed#"$head"}"
    [[ $rest == *@* ]] && head="$head${rest%"@${rest##*@}"}"
    COMPREPLY=()
    mapfile -t found < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    for line in "${found[@]}"; do
        if [ "$line" = ":files" ]; then
            compopt -o filenames 2>/dev/null
            mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$typed")
        else
            line="${line%%$'\t'*}"
            COMPREPLY+=("${line#"$head"}")
        fi
    done
}
complete -F _flotilla @PROGRAMS@
