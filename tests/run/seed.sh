# Sourced in the top folder: the seed of every random part, as tests/run/draw.py takes it
# from the tree, and what it draws: `seed`, the lane `seed_lane`, that lane's tests
# `seed_tests`, and `seed_leaves`, which ends a pattern of labels.
seed_words=$(python3 tests/run/draw.py shell) || exit 2
eval "$seed_words"
export FLOTILLA_SEED="$seed"

# lane_is_drawn TEST: the draw plays that lane's test; else the reason why not. A lane
# begins with `lane_is_drawn lane_NAME || exit 77`.
lane_is_drawn() {
    case "${FLOTILLA_PART-} $seed_tests " in
    "all "* | *" $1 "*) ;;
    *) echo "skipped: seed $seed plays $seed_lane" && return 1 ;;
    esac
}
