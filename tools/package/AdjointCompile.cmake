# SPDX-License-Identifier: Apache-2.0
# A model as a build step.
#
#   adjoint_compile(TARGET MODEL.onnx [ENTRY NAME...] [BATCH N|none] [OPTIONS ARGUMENT...]
#                   [DEPENDS FILE...])
#
# TARGET becomes a static library that holds the compiled object; what links it may include
# TARGET.h. Names in the header begin with TARGET, made a C identifier.
#
#   ENTRY    programs to compile: forward (default), gradient, pgd-linf ...
#   BATCH    samples that a worker holds at once
#   OPTIONS  other arguments of `adjoint compile`, such as --cpu haswell or --weights file
#   DEPENDS  files that MODEL.onnx refers to (external data): a change compiles again
#
# The library is made again when the model, these files or the command change. Its properties
# ADJOINT_OBJECT, ADJOINT_HEADER and ADJOINT_MANIFEST are paths of files in the build folder, and
# so is ADJOINT_WEIGHTS if OPTIONS has `--weights file`.
include_guard(GLOBAL)

function(adjoint_compile target model)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "BATCH" "ENTRY;OPTIONS;DEPENDS")
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "adjoint_compile(${target}): unknown: ${arg_UNPARSED_ARGUMENTS}")
    endif()
    get_filename_component(model ${model} ABSOLUTE)
    string(MAKE_C_IDENTIFIER ${target} prefix)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/adjoint/${target})
    set(out ${folder}/${target})
    file(MAKE_DIRECTORY ${folder})
    set(arguments ${model} -o ${out} --prefix ${prefix})
    if(arg_ENTRY)
        list(JOIN arg_ENTRY "," entries)
        list(APPEND arguments --entry ${entries})
    endif()
    if(arg_BATCH)
        list(APPEND arguments --batch ${arg_BATCH})
    endif()
    list(APPEND arguments ${arg_OPTIONS})
    set(files ${out}.o ${out}.h ${out}.json)
    if("${arg_OPTIONS}" MATCHES "--weights[;=]file")
        list(APPEND files ${out}.weights)
    endif()

    add_custom_command(
        OUTPUT ${files}
        COMMAND Adjoint::adjoint compile ${arguments}
        DEPENDS ${model} ${arg_DEPENDS} Adjoint::adjoint
        COMMENT "Compiling ${target} with adjoint"
        VERBATIM)
    add_library(${target} STATIC ${files})
    set_source_files_properties(${out}.o PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    set_target_properties(${target} PROPERTIES
        LINKER_LANGUAGE C
        ADJOINT_OBJECT ${out}.o
        ADJOINT_HEADER ${out}.h
        ADJOINT_MANIFEST ${out}.json
        ADJOINT_WEIGHTS "${out}.weights")
    target_include_directories(${target} PUBLIC ${folder})
endfunction()
