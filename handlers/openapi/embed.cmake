# Converts a text file to a C array:
#   cmake -D INPUT=openapi.yaml -D OUTPUT=openapi_embed.c -P handlers/openapi/embed.cmake
file(READ "${INPUT}" bytes HEX)
string(LENGTH "${bytes}" digits)
if(digits EQUAL 0)
    message(FATAL_ERROR "${INPUT} is empty")
endif()
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REPEAT "0x..," 16 line)
string(REGEX REPLACE "(${line})" "\\1\n" bytes "${bytes}")
file(WRITE "${OUTPUT}" "#include \"handlers/openapi/openapi_embed.h\"

const unsigned char openapi_yaml[] = {
${bytes}
};
const size_t openapi_yaml_len = sizeof openapi_yaml;
")
