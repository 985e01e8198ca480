#include "engine/publish/matrices.h"

enum { EXPERTS = 3, OF_MODEL = 6 };

size_t flo_matrices_max(const struct flo_weights *weights)
{
    return weights->n_layer * (weights->n_places + (size_t)EXPERTS) + OF_MODEL;
}

size_t flo_matrices_list(struct flo_weights *weights, struct flo_matrix **out)
{
    struct flo_matrix *const of_model[OF_MODEL] = {&weights->output,    &weights->embedding,
                                                   &weights->per_layer, &weights->per_layer_proj,
                                                   &weights->spread,    &weights->merge};
    size_t count = 0;

    for (uint32_t l = 0; l < weights->n_layer; l++) {
        struct flo_layer *layer = &weights->layers[l];
        struct flo_matrix *const experts[EXPERTS] = {&layer->expert_gate, &layer->expert_up,
                                                     &layer->expert_down};
        for (size_t i = 0; i < weights->n_places; i++) {
            uint8_t *place = (uint8_t *)layer + weights->places[i];
            out[count] = (struct flo_matrix *)(void *)place;
            count += out[count]->data != NULL ? 1 : 0;
        }
        for (size_t i = 0; i < EXPERTS; i++) {
            out[count] = experts[i];
            count += experts[i]->data != NULL ? 1 : 0;
        }
    }
    for (size_t i = 0; i < OF_MODEL; i++) {
        out[count] = of_model[i];
        count += of_model[i]->data != NULL ? 1 : 0;
    }
    return count;
}
