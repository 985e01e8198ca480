# cmake -DFOLDER=... -DHEADER=... -DNAME=... -DOUT=... -P embed_numbers.cmake: each file of
# the folder as a C array NAME_file, with its count. A file's ending is the type of its
# numbers, little-endian: u8, u16, u32, u64, or struct_X of four u32.
set(text "/* Made by cmake/embed_numbers.cmake. */\n#include \"${HEADER}\"\n\n")
set(b "([0-9a-f][0-9a-f])")
set(pattern_u8 "${b}")
set(number_u8 "0x\\1")
set(pattern_u16 "${b}${b}")
set(number_u16 "0x\\2\\1")
set(pattern_u32 "${b}${b}${b}${b}")
set(number_u32 "0x\\4\\3\\2\\1")
set(pattern_u64 "${b}${b}${b}${b}${b}${b}${b}${b}")
set(number_u64 "0x\\8\\7\\6\\5\\4\\3\\2\\1")

file(GLOB files ${FOLDER}/*)
list(SORT files)
foreach(path ${files})
    get_filename_component(name ${path} NAME_WE)
    string(REGEX MATCH "[^.]+$" kind ${path})
    set(type "uint${kind}_t")
    string(REPLACE "intu" "int" type ${type})
    file(READ ${path} hex HEX)
    if(kind MATCHES "^struct_(.*)")
        set(type "struct ${CMAKE_MATCH_1}")
        string(REGEX REPLACE "${pattern_u32}" "${number_u32}," numbers "${hex}")
        string(REGEX REPLACE "(0x[0-9a-f]+,)(0x[0-9a-f]+,)(0x[0-9a-f]+,)(0x[0-9a-f]+,)"
            "{\\1\\2\\3\\4},\n" numbers "${numbers}")
    else()
        string(REGEX REPLACE "${pattern_${kind}}" "${number_${kind}}," numbers "${hex}")
    endif()
    string(APPEND text "const ${type} ${NAME}_${name}[] = {${numbers}};\n"
        "const size_t ${NAME}_${name}_count = sizeof(${NAME}_${name}) / sizeof(${type});\n")
endforeach()
file(WRITE ${OUT} "${text}")
