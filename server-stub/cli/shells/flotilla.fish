# fish completion of Flotilla's programs; each program knows its own words.
function __flotilla_words
    set -l words (commandline -opc) (commandline -ct)
    set -l typed $words[-1]
    set -l head ''
    if string match -qr -- '^--[^=]*=' $typed
        set head (string match -r -- '^--[^=]*=' $typed)
    end
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        if test "$line" = ':files'
            __fish_complete_path (string replace -r -- '^--[^=]*=' '' $typed)
        else
            echo $head$line
        end
    end
end
for program in @PROGRAMS@
    complete -c $program -f -a '(__flotilla_words)'
end
