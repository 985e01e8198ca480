# Sourced: the seed of a random part, drawn unless FLOTILLA_SEED names it, and what
# it plays next to ASan: a lane that builds everything once more (TSan, an Arm, a room
# left out), or the faults (kills, power cuts, fuzzing, mutants, branches of the cores).
# `seed_leaves` ends a pattern of labels.
seed=${FLOTILLA_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
seed_leaves="|faults"
case $((seed % 5)) in
0) seed_lane=tsan ;;
1) seed_lane=arm64 ;;
2) seed_lane=armhf ;;
3) seed_lane=options ;;
*) seed_lane=faults seed_leaves= ;;
esac
echo "seed $seed (FLOTILLA_SEED=$seed repeats it)"
