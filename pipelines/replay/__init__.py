"""What a challenger says of radiographs that the champion has answered."""
