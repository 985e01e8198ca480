#compdef @PROGRAMS@
# zsh completion of Flotilla's programs; each program knows its own words.
_flotilla()
{
    local line
    local -a found
    for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        if [[ $line == ":files" ]]; then
            _files
        elif [[ -n $line ]]; then
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        fi
    done
    [[ ${words[CURRENT]} == --*=* ]] && compset -P '*='
    (( $#found )) && _describe -V 'flotilla' found
}
if [ "$funcstack[1]" = "_flotilla" ]; then
    _flotilla "$@"
else
    compdef _flotilla @PROGRAMS@
fi
