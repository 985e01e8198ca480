# Rooms that a build may leave out, each by an option (docs/install.md).
#
# flotilla_room(OPTION "part" "sources" "tests"): the part as errors name it; a pattern
# of its sources from the root, with their stand-in `absent*.c`; and a pattern of the
# tests that need it. A build has either the sources or the stand-in, whose calls fail
# with not.built.  No code asks which.  tools/size.py reads the same rows.
set(FLOTILLA_ROOMS)
option(FLOTILLA_LEAST "every room is left out, unless its option says ON" OFF)
function(flotilla_room option part sources tests)
    if(FLOTILLA_LEAST)
        option(${option} "${part}" OFF)
    else()
        option(${option} "${part}" ON)
    endif()
    set(FLOTILLA_ROOMS ${FLOTILLA_ROOMS} ${option} PARENT_SCOPE)
    set(${option}_SOURCES "${sources}" PARENT_SCOPE)
    set(${option}_TESTS "${tests}" PARENT_SCOPE)
endfunction()

# On a device.
flotilla_room(FLOTILLA_GRAMMAR "answers that keep a form: schemas, grammars, calls"
    "engine/grammar/"
    "test_(calls|form|format|grammar.*|job|worker_sharing)|fuzz_(calls|form|grammar|schema)|test_(choices|serve_calls)")
flotilla_room(FLOTILLA_TEMPLATES "chat templates"
    "engine/chat/jinja/" "test_serve_crashes.*|test_(serve_.*|probes_loaded|anthropic|ollama|responses|template.*|jinja.*|chat.*|calls|derive|session|worker_answers|worker_adapters|prefix_process)|fuzz_(jinja|template).*")
flotilla_room(FLOTILLA_RUNTIMES "runtimes of the device's owner, links and hooks"
    "engine/proxy/|agent/shell/hooks/|agent/shell/device/(hook|runtimes)[.]c|updater/store/(tree|absent_tree)[.]c"
    "test_hooks|test_serve_runtime|test_tree")
flotilla_room(FLOTILLA_NEIGHBOURS "neighbours"
    "updater/share/|agent/shell/neighbours/|updater/fetch/(neighbours|absent_neighbours)[.]c"
    "test_(neighbours|neighbour_share|share_sandbox)|fuzz_share|e2e_route_fleet")
flotilla_room(FLOTILLA_ROUTES "routes to other devices and to endpoints"
    "agent/relay/|agent/serve/fallback/|agent/serve/rules/(endpoints|routes|absent_routes)[.]c"
    "test_relay_(settings|sandbox)|test_fallback|e2e_rela.*|e2e_route.*")
flotilla_room(FLOTILLA_DIALECTS "the APIs of Anthropic and Ollama, and OpenAI's Responses"
    "agent/serve/(anthropic|ollama|responses)/|agent/serve/api/(stored|absent_dialects)[.]c"
    "test_(anthropic|collected|ollama|responses)|test_serve_guards.*|fuzz_ollama")
flotilla_room(FLOTILLA_BATCHES "batches and their files"
    "agent/serve/batch/|agent/shell/commands/(batch|absent_batch)"
    "test_batch_.*|fuzz_batch.*")
flotilla_room(FLOTILLA_ASSETS "assets: files of releases that other programs read"
    "agent/serve/assets/|agent/shell/assets/"
    "e2e_assets")
flotilla_room(FLOTILLA_GUARDS "guards"
    "agent/serve/guard/"
    "test_verdict|fuzz_verdict|test_serve_guards.*")
flotilla_room(FLOTILLA_STANDALONE "serving without a controller"
    "agent/serve/standalone/(standalone|door|loras|several|absent)[.]c"
    "test_loras")
flotilla_room(FLOTILLA_SPEECH "speech to text"
    "agent/serve/openai/(audio|absent_audio)[.]c"
    "test_audio")
flotilla_room(FLOTILLA_RERANK "ranked documents"
    "agent/serve/openai/(rerank|absent_rerank)[.]c"
    "test_rerank|fuzz_rerank|e2e_rerank")
flotilla_room(FLOTILLA_PREFIXES "kept beginnings of prompts"
    "engine/model/(prefix|absent_prefix)[.]c"
    "test_(kept|prefix.*|window)|fuzz_prefix")
flotilla_room(FLOTILLA_DRAFTS "guesses of the next tokens, also from draft files"
    "engine/draft/|engine/run/(guesses|drafts|absent_guesses|core/draft)[.]c|engine/(commands|publish)/(draft|absent_draft)[.]c|engine/publish/draft/"
    "test_(draft_table|table_make|worker_drafts)|engine_drafts|fuzz_draft_table|e2e_draft.*")
flotilla_room(FLOTILLA_CHECKUP "checkups of a device: the command and the order doctor"
    "agent/core/checkup/(findings|programs)[.]c|agent/shell/hardware/(checkup|absent_checkup)[.]c|agent/shell/commands/(doctor|absent_doctor)[.]c|agent/shell/device/programs[.]c"
    "test_(checkup.*|programs)|e2e_(afar|doctor_library|found_programs)")
flotilla_room(FLOTILLA_BENCHMARK "benches of a model: flotilla-engine bench --model, and the order benchmark"
    "engine/commands/(bench_model|bench_golden|absent_bench_model)[.]c|agent/core/benchmark/|agent/shell/benchmark/|updater/store/partials_drop[.]c"
    "test_benchmark|test_energy|engine_commands|e2e_benchmark.*")
flotilla_room(FLOTILLA_BUNDLES "updates from a bundle, as on a USB stick"
    "updater/bundle/(read|absent)[.]c|updater/fetch/(bundle|absent_bundle)[.]c|agent/shell/commands/(update|absent_update)[.]c"
    "test_(bundle|bundle_several|stage_bundle|tools)|fuzz_bundle|e2e_bundles")
flotilla_room(FLOTILLA_TYPED_DELTAS "typed deltas: differences of weights, value by value"
    "updater/delta/(tensor|publish)/"
    "test_(author|blocks|chain|make|match|stage_cut|tensor.*|tools.*)|fuzz_(onnx|tensor)|oracle_delta_page|e2e_chains")
flotilla_room(FLOTILLA_TALK "talking to a model in a terminal"
    "engine/talk/|engine/commands/run[.]c" "")
# A publisher's programs and commands.
flotilla_room(FLOTILLA_PUBLISHER "making releases, deltas and bundles"
    "updater/tools/(bundle|delta|release|absent_publisher)[.]c|server-stub/cli/(create|builds)/|server-stub/cli/cmd_(release_create|model_build|bundle)[.]c"
    "engine_(commands|convert_lora|golden|merge_lora|publishing)|golden_.*|oracle_delta_page|test_(build_.*|tools|tools_partial)|fuzz_build_spec|e2e_model_build")
# On a controller.
flotilla_room(FLOTILLA_POSTGRESQL "PostgreSQL and several controllers"
    "base/host/pg[.]c|server-stub/store/postgresql/|server-stub/run/program/(standby|absent_standby)[.]c|server-stub/telemetry/(lane|absent)_handed[.]c|server-stub/cli/live/(controllers|absent_controllers)[.]c" "")
flotilla_room(FLOTILLA_BROKER "a broker of the controller's own: mosquitto, started and watched"
    "server-stub/mqtt/broker/(absent|authorities|broker|keeper|limits|lines|shares|start)[.]c"
    "test_broker_lines|e2e_(broker_lingers|controller_.*|fleet|hostile_broker)")
flotilla_room(FLOTILLA_OIDC "logins by an identity provider"
    "server-stub/core/oidc/|server-stub/run/login/|server-stub/rest/people/(login|absent_login)[.]c"
    "test_oidc|fuzz_jwt")
flotilla_room(FLOTILLA_DASHBOARD "the dashboard and its overview of the fleet"
    "server-stub/rest/dashboard/"
    "test_overview|e2e_dashboard.*")
flotilla_room(FLOTILLA_ALERTS "alerts and webhooks"
    "server-stub/core/alert/|server-stub/run/watching/|server-stub/state/watch/(watch|evaluate|absent)[.]c|server-stub/rest/watch/"
    "test_(alert|damaged|watch)|fuzz_(alert_rule|room)|test_rest")
flotilla_room(FLOTILLA_FORECASTS "forecasts of a rollout"
    "server-stub/state/(fit|forecast)/|server-stub/cli/rollout/(plan|absent_plan)[.]c"
    "test_server_(forecast|members|sight)")
flotilla_room(FLOTILLA_METRICS "metrics for Prometheus; and alerts, which look at them"
    "server-stub/rest/metrics/" "")
flotilla_room(FLOTILLA_BACKUP "copying the folder of a controller at work"
    "server-stub/run/program/(backup|absent_backup)[.]c" "")
flotilla_room(FLOTILLA_OVERVIEW "commands that look into the whole fleet"
    "server-stub/cli/live/(top|doctor|absent_overview)[.]c|server-stub/cli/cmd_(telemetry|audit)[.]c|server-stub/cli/rollout/(evidence|experiment)[.]c" "")
flotilla_room(FLOTILLA_TRUST "the keys of a fleet in the command line"
    "server-stub/cli/trust/" "")

# Without its package a room is left out, too.
if(NOT libpq_FOUND)
    set(FLOTILLA_POSTGRESQL OFF)
endif()
if(NOT FLOTILLA_METRICS)
    set(FLOTILLA_ALERTS OFF)
endif()

# The sources of a target as this build has them.
function(flotilla_rooms_keep out)
    set(kept ${ARGN})
    list(FILTER kept EXCLUDE REGEX "/absent[^/]*[.]c$")
    foreach(room ${FLOTILLA_ROOMS})
        if(NOT ${room})
            set(pattern "^${FLOTILLA_SOURCE}/(${${room}_SOURCES})")
            set(absent ${ARGN})
            list(FILTER absent INCLUDE REGEX "${pattern}")
            list(FILTER absent INCLUDE REGEX "/absent[^/]*[.]c$")
            list(FILTER kept EXCLUDE REGEX "${pattern}")
            list(APPEND kept ${absent})
        endif()
    endforeach()
    set(${out} ${kept} PARENT_SCOPE)
endfunction()

# Does a test need a room that is left out, by its name or by one of its sources?
function(flotilla_rooms_test name out)
    set(${out} OFF PARENT_SCOPE)
    foreach(room ${FLOTILLA_ROOMS})
        set(needed ${ARGN})
        list(FILTER needed INCLUDE REGEX "^${FLOTILLA_SOURCE}/(${${room}_SOURCES})")
        list(FILTER needed EXCLUDE REGEX "/absent[^/]*[.]c$")
        if(NOT ${room} AND (needed OR "${name}" MATCHES "^(${${room}_TESTS})$"))
            set(${out} ON PARENT_SCOPE)
        endif()
    endforeach()
endfunction()
