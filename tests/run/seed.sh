# Sourced: the seed of a random part, drawn unless FLOTILLA_SEED names it.
seed=${FLOTILLA_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
echo "seed $seed (FLOTILLA_SEED=$seed repeats it)"
