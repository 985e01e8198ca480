# cmake -DOUT=... "-DFILES=NAME=FILE;..." -P embed_texts.cmake: a C initialiser for each
# file: {"NAME", bytes and a NUL, count}.
set(text "/* Made by cmake/embed_texts.cmake. */\n")
foreach(entry ${FILES})
    string(REGEX MATCH "^([^=]*)=(.*)$" found "${entry}")
    set(name ${CMAKE_MATCH_1})
    file(READ ${CMAKE_MATCH_2} hex HEX)
    string(LENGTH "${hex}" length)
    math(EXPR bytes "${length} / 2")
    string(REGEX REPLACE "(..)" "0x\\1," hex "${hex}")
    string(APPEND text "{\"${name}\", (const unsigned char[]){${hex}0}, ${bytes}},\n")
endforeach()
file(WRITE ${OUT} "${text}")
