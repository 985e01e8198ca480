/* A room of the controller, linked whole. */
int main(void)
{
    return 0;
}
